"""Offline half of Captionize: from pictures and captions to a servable archive."""
