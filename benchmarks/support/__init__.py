"""What measurements have in common: cases in turn, material, tables and plots."""
