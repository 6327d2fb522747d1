-- What an organization calls its members is its own: no name of one organization is shown in another. One column that
-- may be null; older servers go on beside it and show the name of the account.

-- Null for those who were members before: they are called by the name of their account.
alter table memberships add column name text;
