"""Servers that the serving benchmark compares Captionize with, each a program of its own."""
