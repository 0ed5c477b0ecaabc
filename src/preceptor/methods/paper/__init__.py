"""The tables of a paper on RLAIF, measured anew: `reproduce` runs them, `registry` lists them."""
