/** Tenants over the wire: what they are entitled to, and its change. */
import { decodeUint32, decodeUint64, encodeUint32, encodeUint64 } from '../../proto/codec.js';
import { badField } from '../../proto/errors.js';
import type { ListTenantsResponse } from '../../proto/generated/kvspan/v1/ListTenantsResponse.js';
import type { SetTenantRequest__Output } from '../../proto/generated/kvspan/v1/SetTenantRequest.js';
import type { SetTenantResponse } from '../../proto/generated/kvspan/v1/SetTenantResponse.js';
import type { TenantInfo } from '../../proto/generated/kvspan/v1/TenantInfo.js';
import type { TenantChange, TenantView } from '../core/ledger.js';
import { bytes } from '../core/types.js';
import type { ServiceContext } from './context.js';

export function listTenants({ ledger }: ServiceContext): ListTenantsResponse {
  const { tenants, revision } = ledger.tenants();
  return { tenants: tenants.map(encodeTenant), revision: encodeUint64(revision, 'revision') };
}

export function setTenant(
  { ledger, effects, clock, log }: ServiceContext,
  request: SetTenantRequest__Output,
): SetTenantResponse {
  const change = decodeChange(request);
  effects.run(ledger.setTenant(change, clock.now()));
  const { tenants, revision } = ledger.tenants();
  const tenant = tenants.find(({ name }) => name === change.name) as TenantView;
  log.info({ tenant: tenant.name, bytes: tenant.guaranteedBytes }, 'a tenant was changed');
  return { tenant: encodeTenant(tenant), revision: encodeUint64(revision, 'revision') };
}

function decodeChange({ name, revision, entitlement }: SetTenantRequest__Output): TenantChange {
  if (entitlement === null) throw badField('entitlement', null, 'the whole entitlement');
  const { guaranteedBytes, limitBytes, weight, held } = entitlement;
  return {
    name,
    revision: decodeUint64(revision, 'revision'),
    guaranteedBytes: bytes(decodeUint64(guaranteedBytes, 'guaranteed_bytes')),
    limitBytes: bytes(decodeUint64(limitBytes, 'limit_bytes')),
    weight: decodeUint32(weight, 'weight'),
    held,
  };
}

const encodeTenant = (view: TenantView): TenantInfo => ({
  name: view.name,
  entitlement: {
    guaranteedBytes: encodeUint64(view.guaranteedBytes, 'tenant.guaranteed_bytes'),
    limitBytes: encodeUint64(view.limitBytes, 'tenant.limit_bytes'),
    weight: encodeUint32(view.weight, 'tenant.weight'),
    held: view.held,
  },
  heldBytes: encodeUint64(view.heldBytes, 'tenant.held_bytes'),
  promisedBytes: encodeUint64(view.promisedBytes, 'tenant.promised_bytes'),
  borrowedBytes: encodeUint64(view.borrowedBytes, 'tenant.borrowed_bytes'),
  evictedBytes: encodeUint64(view.evictedBytes, 'tenant.evicted_bytes'),
  sessionCount: encodeUint32(view.sessionCount, 'tenant.session_count'),
  waitingGrantCount: encodeUint32(view.waitingGrantCount, 'tenant.waiting_grant_count'),
  overdueCount: encodeUint32(view.overdueCount, 'tenant.overdue_count'),
});
