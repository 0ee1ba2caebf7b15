"""Clients: the libraries through which a notebook calls models. One file each, imported only when used."""
