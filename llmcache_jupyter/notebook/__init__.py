"""The notebook's side: magics, cells, completion and the panel. The only room that knows Jupyter."""
