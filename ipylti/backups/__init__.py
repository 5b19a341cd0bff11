"""Backups of database and volumes, and what is restored from them.

A backup is a folder with the database's rows and a manifest that names each volume's archive; archives are
named after their digest and shared by all backups of a destination. The manifest is written last: a folder
without one is no backup.

Order makes a backup whole. The database comes first, in one transaction, and the volumes after it. So all
that the rows know of is in a volume that is as old as they are or younger; a volume that they don't know is
kept, too, and does no harm. A volume that was being filled when the rows were read is left out: after a
restore it is filled again, and what came into it later would be copied over then.
"""
