"""Prompt sets and reference answers that ship with preceptor."""
