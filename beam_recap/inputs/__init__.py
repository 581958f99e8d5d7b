"""Reading shards: what a file is, how it is shared among workers, and what its rows say."""
