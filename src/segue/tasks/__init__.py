"""The five tasks, all with the same verbs and the same file names."""
