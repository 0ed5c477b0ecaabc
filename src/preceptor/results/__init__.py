"""What tasks and runs return: typed results, each the whole content of the file it is written to."""
