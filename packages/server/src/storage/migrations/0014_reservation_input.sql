-- What a crash leaves of a model call counts its input. Columns with a default: older servers can live with it; what they
-- leave counts nothing, as before.

alter table budget_reservations
  add column input_micros bigint not null default 0,
  add column input_tokens bigint not null default 0;
