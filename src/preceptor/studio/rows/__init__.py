"""Rows that preceptor wrote into folders: an index to find them by, and everything that is known about one of them."""
