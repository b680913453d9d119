"""What runs inside a TorchServe worker: a picture in, a caption out."""
