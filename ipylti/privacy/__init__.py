"""People's data: how long it is kept, how it is handed out, how it is erased."""
