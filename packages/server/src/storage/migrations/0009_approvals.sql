-- Approvals: who may decide, what was shown, what an allowance covers. Older servers must be stopped first: they
-- would not ask where a condition does, and would take an allowance with a scope for one of the whole tool.

alter table permissions
  -- The agent and its name in the version that asked; null for a run without a saved agent.
  add column agent_id uuid,
  add column agent_name text not null default '',
  -- `unknown_outcome`: the call was made before, and a crash hid what came of it.
  add column reason text not null default 'approval' check (reason in ('approval', 'unknown_outcome')),
  -- The tool's input as people may see it; `arguments_hash` is of the whole one.
  add column input json not null default 'null',
  -- What `allow_for_thread` covers beside the tool: '' for the tool as a whole, null when it is not offered.
  add column scope text,
  -- As the agent's version has them.
  add column approvers text[] not null default '{caller}',
  add column not_requester boolean not null default false,
  add column on_expiry text not null default 'fail' check (on_expiry in ('fail', 'deny')),
  -- Whom the run works for: a person, a service token, or both when the service acts for the person.
  add column requester_user_id uuid,
  add column requester_token_id uuid;

-- The hash of older requests was made in another way: once allowed, their calls are asked about again.
update permissions p
   set agent_id = t.agent_id, scope = '',
       requester_user_id = coalesce(t.attributed_user_id, case when t.created_by_kind = 'user' then t.created_by_id end),
       requester_token_id = case when t.created_by_kind = 'service' then t.created_by_id end
  from threads t where t.organization_id = p.organization_id and t.id = p.thread_id;
update permissions p set input = c.input
  from tool_calls c where c.organization_id = p.organization_id and c.run_id = p.run_id and c.id = p.call_id;
update permissions p set agent_name = coalesce(v.config ->> 'name', '')
  from agent_versions v
 where v.organization_id = p.organization_id and v.agent_id = p.agent_id and v.version = p.agent_version;

-- Inboxes: what somebody asked for, or may decide as an agent's owner or in a group.
create index permissions_user on permissions (requester_user_id, id) where requester_user_id is not null;
create index permissions_token on permissions (requester_token_id, id) where requester_token_id is not null;
create index permissions_agent on permissions (agent_id, id);
create index permissions_approvers on permissions using gin (approvers);

alter table thread_allowances add column scope text not null default '';
alter table thread_allowances drop constraint thread_allowances_pkey,
  add primary key (organization_id, thread_id, tool, agent_version, scope);
