"""The labelling page: who said what of which clip, what to label next, and what the labels are worth."""
