"""The page that holds an evaluation: what stands on it, its pictures, and cards to go with it."""
