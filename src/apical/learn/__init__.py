"""Learning: contrastive pre-training on unlabelled clips, then a classifier from few labels."""
