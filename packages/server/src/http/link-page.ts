/**
 * The two pages that one-time links lead to: set a password, accept an invitation. One file each, nothing loaded from
 * elsewhere. The link's secret is behind its `#`, so it is in no request but the one that spends it.
 */
import { createHash } from "node:crypto";

type LinkPage = {
  title: string;
  route: string;
  /** Tells what the link is about, for a first look. */
  preview?: string;
  button: string;
  done: string;
  withName: boolean;
};

export const linkPages: Readonly<Record<string, LinkPage>> = {
  "/set-password": {
    title: "Set a password",
    route: "/api/v1/password/reset",
    button: "Set password",
    done: "Your password is set. You can close this page.",
    withName: false,
  },
  "/accept-invitation": {
    title: "Accept an invitation",
    route: "/api/v1/invitations/accept",
    preview: "/api/v1/invitations/preview",
    button: "Accept",
    done: "You are a member now. You can close this page.",
    withName: true,
  },
};

const SCRIPT = `const form = document.querySelector("form"), note = document.querySelector("output");
const about = document.querySelector("p"), token = location.hash.slice(1);
const send = (route, body) => fetch(route, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token, ...body }),
});
if (token === "") { note.textContent = "This link is incomplete: copy all of it."; form.hidden = true; }
else if (form.dataset.preview) {
  send(form.dataset.preview).then(async (answer) => {
    const found = await answer.json();
    if (answer.ok) about.textContent = found.invited_by.name + " invites " + found.email + " to " +
      found.organization.name + " as " + found.role + ". The link works until " +
      new Date(found.expires_at).toLocaleString() + ".";
    else { note.textContent = found.error.message; form.hidden = answer.status === 409; }
  }).catch(() => {});
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
  note.textContent = "…";
  try {
    const answer = await send(form.dataset.route, fields);
    form.hidden = answer.ok;
    note.textContent = answer.ok ? form.dataset.done : (await answer.json()).error.message;
  } catch { note.textContent = "The server could not be reached. Try again."; }
});`;

const hash = createHash("sha256").update(SCRIPT).digest("base64");

export const linkPageHeaders = {
  "content-security-policy":
    `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'; connect-src 'self'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

export function linkPage({ title, route, preview, button, done, withName }: LinkPage): string {
  const name = withName
    ? '<label>Your name, if you are new here <input name="name" autocomplete="name" maxlength="200"></label>'
    : "";
  const hint = withName
    ? " (12 characters or more; the one you have, if you have one here)"
    : " (12 characters or more)";
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><style>${STYLE}</style><main><h1>${title}</h1><p></p>
<form data-route="${route}" data-done="${done}"${preview === undefined ? "" : ` data-preview="${preview}"`}>${name}
<label>Password${hint} <input name="password" type="password" autocomplete="new-password" required maxlength="256"></label>
<button>${button}</button></form><output role="status"></output></main><script>${SCRIPT}</script></html>`;
}

const STYLE = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0}main{max-width:24rem;margin:12vh auto;padding:0 1rem}
label{display:block;margin:1rem 0}input{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.5rem;margin-top:.25rem}
button{font:inherit;padding:.5rem 1rem}[hidden]{display:none}`;
