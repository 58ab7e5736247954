"""Evaluations on the workers of a Dask cluster: nothing here but `client` and `worker` knows Dask."""
