"""What the command, training and the page share: Captionize's own files, captions in pictures."""
