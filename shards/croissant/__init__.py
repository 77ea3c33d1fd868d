"""`croissant.json`, which describes a packed corpus to catalogues."""
