"""An exported folder: the description in its `config.json`, the forms of its weights, and how it is read."""
