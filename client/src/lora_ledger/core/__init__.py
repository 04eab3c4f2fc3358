"""What everything else stands on: text, secrets, the disk, the wire. Imports nothing but itself."""
