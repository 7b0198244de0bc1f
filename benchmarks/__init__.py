"""Measurements that stand in the documents, each made by one command."""
