"""A frozen video encoder as a teacher."""
