"""Deployment: the bundle that holds all a prediction needs, and the answers it gives."""
