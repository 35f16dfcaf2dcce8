// SPDX-License-Identifier: Apache-2.0

// What the tests need beside the SDK: projects and identities, made over the
// API by the administrator of the server that acceptance/with-server started.
import { randomBytes } from 'node:crypto';

import { InfisicalSDK } from '@infisical/sdk';

export const siteUrl = setting('URL');

function setting(name) {
  const value = process.env['KMS_ACCEPTANCE_' + name];
  if (!value) throw new Error(`KMS_ACCEPTANCE_${name} is not set: run the tests with make acceptance`);
  return value;
}

async function admin(method, path, body) {
  const response = await fetch(siteUrl + path, {
    method,
    headers: { Authorization: 'Bearer ' + setting('TOKEN'), 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${path}: ${answer.message}`);
  return answer;
}

// newProject makes a project: {id, slug}.
export async function newProject() {
  const slug = 'shop-' + randomBytes(5).toString('hex');
  const { project } = await admin('POST', '/api/v2/workspace', { projectName: 'Shop', slug });
  return project;
}

// newIdentity makes an identity with a role in the project, or none, and gives
// what it logs in with: {clientId, clientSecret}.
export async function newIdentity(project, role) {
  const { identity } = await admin('POST', '/api/v1/identities', { name: project.slug + '-service', organizationId: setting('ORG') });
  if (role) {
    await admin('POST', `/api/v2/workspace/${project.id}/identity-memberships/${identity.id}`, { roles: [{ role }] });
  }
  const path = '/api/v1/auth/universal-auth/identities/' + identity.id;
  const { identityUniversalAuth } = await admin('POST', path, {});
  const { clientSecret } = await admin('POST', path + '/client-secrets', {});
  return { clientId: identityUniversalAuth.clientId, clientSecret };
}

// loggedIn is the SDK as its users make it, logged in as a new identity.
export async function loggedIn(project, role) {
  const client = new InfisicalSDK({ siteUrl });
  await client.auth().universalAuth.login(await newIdentity(project, role));
  return client;
}

// administrator is the SDK with the token of the administrator.
export function administrator() {
  return new InfisicalSDK({ siteUrl }).auth().accessToken(setting('TOKEN'));
}
