"""The schemas of recipes, one file per method, and the recipes that ship with preceptor as TOML files."""
