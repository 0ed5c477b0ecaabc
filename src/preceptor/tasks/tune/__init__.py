"""Rewording a constitution so that its judge agrees more with people."""
