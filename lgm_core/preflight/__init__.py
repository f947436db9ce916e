"""Before hours are spent: what is there, what is missing, what it will cost."""
