// Original file: proto/kvspan/v1/admin.proto

import type { Long } from '@grpc/proto-loader';

/**
 * What a tenant is entitled to. Sizes are whole pages.
 */
export interface TenantEntitlement {
  /**
   * Always to be had, if need be by taking back what others borrowed. The sum over all tenants is at
   * most the pool.
   */
  'guaranteedBytes'?: (number | string | Long);
  /**
   * Never passed; the pool's size: no limit. At least the guarantee.
   */
  'limitBytes'?: (number | string | Long);
  /**
   * What is above all guarantees is shared by weight. At least 1.
   */
  'weight'?: (number);
  /**
   * The guarantee is never lent, not even while unused: it is met at once whatever others do.
   */
  'held'?: (boolean);
}

/**
 * What a tenant is entitled to. Sizes are whole pages.
 */
export interface TenantEntitlement__Output {
  /**
   * Always to be had, if need be by taking back what others borrowed. The sum over all tenants is at
   * most the pool.
   */
  'guaranteedBytes': (string);
  /**
   * Never passed; the pool's size: no limit. At least the guarantee.
   */
  'limitBytes': (string);
  /**
   * What is above all guarantees is shared by weight. At least 1.
   */
  'weight': (number);
  /**
   * The guarantee is never lent, not even while unused: it is met at once whatever others do.
   */
  'held': (boolean);
}
