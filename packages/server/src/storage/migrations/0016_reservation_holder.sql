-- A process that was paused settles its own reservation and not that of the process that took the run over. A column
-- without a default: older servers can live with it; theirs are settled by whoever comes first, as before.

alter table budget_reservations add column holder uuid;
