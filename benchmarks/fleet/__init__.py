"""A fleet on paper: a discrete-event simulation of the service, held against the service itself."""
