"""Clusters of embeddings: fitting a PCA and K-means, saving and loading them, and labelling rows.

`model` labels rows, `model_folder` saves and loads, `embedding_files` reads embeddings, and `fit` makes a model of them
as `settings` says. faiss and scikit-learn are needed for fitting only.
"""
