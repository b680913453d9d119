"""What runs inside a TorchServe worker: a picture in, a caption out."""

# Raised when archives that were made before should be renewed (captionize archive --repack).
# webui/torchserve/handlers.py names the same number.
VERSION = 3
