"""Files of pictures and what is written of their captions; imports neither torch nor a model."""
