"""The run folder: what a run leaves on disk, written so that a broken run never looks finished."""
