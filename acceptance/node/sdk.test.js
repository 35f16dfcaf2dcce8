// SPDX-License-Identifier: Apache-2.0

// The unmodified Node SDK of Infisical against a real kms-server.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfisicalSDK } from '@infisical/sdk';

import { administrator, loggedIn, newIdentity, newProject, siteUrl } from './setup.js';

const hard = ' a "b" $c\n\\d %25 ü 🔑 ';

// pairs is what an application sees of secrets.
const pairs = (secrets) => secrets.map((s) => [s.secretKey, s.secretValue]);

test('the Node SDK logs in and renews its token', async () => {
  const project = await newProject();
  const client = new InfisicalSDK({ siteUrl });
  await client.auth().universalAuth.login(await newIdentity(project, 'viewer'));
  await client.auth().universalAuth.renew();
  const { secrets } = await client.secrets().listSecrets({ projectId: project.id, environment: 'dev' });
  assert.deepEqual(secrets, []);
});

test('the Node SDK creates, reads, updates, renames and deletes', async () => {
  const project = await newProject();
  const at = { projectId: project.id, environment: 'dev' };
  const secrets = (await loggedIn(project, 'member')).secrets();

  const created = await secrets.createSecret('API_KEY', { ...at, secretValue: hard, secretComment: 'from the vendor' });
  assert.equal(created.secret.version, 1);
  assert.equal(created.secret.secretComment, 'from the vendor');
  const got = await secrets.getSecret({ ...at, secretName: 'API_KEY' });
  assert.equal(got.secretValue, hard);
  assert.equal(got.secretPath, '/');
  assert.equal(got.type, 'shared');
  assert.equal(got.environment, 'dev');

  await secrets.updateSecret('API_KEY', { ...at, secretValue: 'two', secretReminderNote: 'renew it', secretReminderRepeatDays: 30 });
  assert.equal((await secrets.getSecret({ ...at, secretName: 'API_KEY' })).secretValue, 'two');
  assert.equal((await secrets.getSecret({ ...at, secretName: 'API_KEY', version: 1 })).secretValue, hard);

  await secrets.updateSecret('API_KEY', { ...at, newSecretName: 'VENDOR.KEY#1%25' });
  assert.deepEqual(pairs((await secrets.listSecrets(at)).secrets), [['VENDOR.KEY#1%25', 'two']]);
  await secrets.deleteSecret('VENDOR.KEY#1%25', at);
  assert.deepEqual((await secrets.listSecrets(at)).secrets, []);
});

test('the Node SDK lists folders, trees, tags and imports', async () => {
  const project = await newProject();
  const client = await loggedIn(project, 'member');
  const at = { projectId: project.id, environment: 'dev' };
  await client.folders().create({ ...at, path: '/', name: 'deploy', description: 'what CI needs' });
  await client.secrets().createSecret('OUTER', { ...at, secretValue: '1' });
  await client.secrets().createSecret('INNER', { ...at, secretPath: '/deploy', secretValue: '2' });

  const folders = await client.folders().listFolders(at);
  assert.deepEqual(folders.map((f) => f.name), ['deploy']);
  const list = async (more) => pairs((await client.secrets().listSecrets({ ...at, ...more })).secrets);
  assert.deepEqual(await list({}), [['OUTER', '1']]);
  assert.deepEqual(await list({ secretPath: '/deploy' }), [['INNER', '2']]);
  assert.deepEqual(await list({ recursive: true }), [['OUTER', '1'], ['INNER', '2']]);
  assert.deepEqual(await list({ tagSlugs: ['no-such-tag'] }), []);
  assert.deepEqual(pairs(await client.secrets().listSecretsWithImports(at)), [['OUTER', '1']]);
});

test('the Node SDK expands references unless told not to, and hides values', async () => {
  const project = await newProject();
  const at = { projectId: project.id, environment: 'dev' };
  const secrets = (await loggedIn(project, 'member')).secrets();
  await secrets.createSecret('HOST', { ...at, secretValue: 'db.internal' });
  await secrets.createSecret('URL', { ...at, secretValue: 'postgres://${HOST}/shop' });
  const value = async (more) => (await secrets.getSecret({ ...at, secretName: 'URL', ...more })).secretValue;
  assert.equal(await value({}), 'postgres://db.internal/shop');
  assert.equal(await value({ expandSecretReferences: false }), 'postgres://${HOST}/shop');
  assert.equal(await value({ viewSecretValue: false }), '<hidden-by-infisical>');
});

test('the Node SDK puts secrets into the environment', async () => {
  const project = await newProject();
  const at = { projectId: project.id, environment: 'dev' };
  const secrets = (await loggedIn(project, 'member')).secrets();
  await secrets.createSecret('KMS_ACCEPTANCE_ATTACHED', { ...at, secretValue: hard });
  await secrets.listSecrets({ ...at, attachToProcessEnv: true });
  assert.equal(process.env.KMS_ACCEPTANCE_ATTACHED, hard);
});

test('the Node SDK makes projects and environments', async () => {
  const client = administrator();
  const project = await client.projects().create({ projectName: 'From Node', type: 'secret-manager', projectDescription: 'made by a test' });
  assert.ok(project.id);
  const environment = await client.environments().create({ name: 'Quality', projectId: project.id, slug: 'qa' });
  assert.equal(environment.slug, 'qa');
  await client.secrets().createSecret('KEY', { projectId: project.id, environment: 'qa', secretValue: 'x' });
});

test('the Node SDK shows the status and the message of errors', async (t) => {
  const project = await newProject();
  const at = { projectId: project.id, environment: 'dev' };
  const member = await loggedIn(project, 'member');
  const viewer = await loggedIn(project, 'viewer');
  const stranger = await loggedIn(project);
  await member.secrets().createSecret('KEY', { ...at, secretValue: 'x' });
  const anonymous = new InfisicalSDK({ siteUrl });
  const cases = {
    'an empty environment': [400, () => viewer.secrets().listSecrets({ ...at, environment: '' })],
    'a key that is there': [400, () => member.secrets().createSecret('KEY', { ...at, secretValue: 'y' })],
    'a wrong client secret': [401, async () =>
      anonymous.auth().universalAuth.login({ ...(await newIdentity(project, 'viewer')), clientSecret: 'st.wrong' })],
    'no token': [401, () => anonymous.secrets().listSecrets(at)],
    'no member': [403, () => stranger.secrets().listSecrets(at)],
    'a viewer who writes': [403, () => viewer.secrets().updateSecret('KEY', { ...at, secretValue: 'y' })],
    'an unknown key': [404, () => viewer.secrets().getSecret({ ...at, secretName: 'NONE' })],
    'an unknown folder': [404, () => viewer.secrets().listSecrets({ ...at, secretPath: '/nowhere' })],
  };
  for (const [name, [status, call]] of Object.entries(cases)) {
    await t.test(name, () => assert.rejects(call, { name: 'InfisicalSDKRequestError', message: new RegExp(`\\[StatusCode=${status}\\] \\S`) }));
  }
});
