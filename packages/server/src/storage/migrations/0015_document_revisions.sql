-- Documents whose content is replaced: a number for each content. Columns with defaults: older servers can live with
-- it; they replace a document by deleting it and adding another one.

alter table documents
  add column revision integer not null default 1,
  add column updated_at timestamptz(3);
update documents set updated_at = created_at;
alter table documents
  alter column updated_at set not null,
  alter column updated_at set default now();
