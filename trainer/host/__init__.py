"""What a rank finds on its host: the way to the others, its cores, its limits."""
