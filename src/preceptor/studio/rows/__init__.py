"""Every label, failure and judgement in the folders: an index to filter, search and sort, and each row by itself."""
