"""Which rows of a dataset say again what another says: exact and near duplicates, placeholders and spam."""
