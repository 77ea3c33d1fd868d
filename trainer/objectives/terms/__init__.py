"""Terms of losses, as pure functions of clips and of vectors."""
