"""Language models behind one interface (`base.LanguageModel`): local, served and scripted ones."""
