"""The part of Kubernetes that a charm can see: Services that route, and the API."""
