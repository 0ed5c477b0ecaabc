"""Language models behind one contract (`base.LanguageModel`): local ones and scripted ones."""
