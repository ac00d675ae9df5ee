/**
 * The services of kvspan.v1 as grpc-js wants them, loaded once from descriptors that are part of
 * the program. Field names are in camel case, 64-bit fields are decimal text (see `codec.ts`),
 * enums are their names, absent fields have their default values.
 */
import { loadPackageDefinition, type GrpcObject } from '@grpc/grpc-js';
import {
  loadFileDescriptorSetFromBuffer,
  type Options,
  type PackageDefinition,
} from '@grpc/proto-loader';
import type { ProtoGrpcType as AdminTypes } from './generated/admin.js';
import {
  kvspanCamelCaseDescriptors,
  kvspanDescriptors,
  standardDescriptors,
} from './generated/descriptor-set.js';
import type { ProtoGrpcType as MemoryTypes } from './generated/memory.js';

const options: Options = { longs: String, enums: String, defaults: true, oneofs: true };

type Package = MemoryTypes['kvspan']['v1'] & AdminTypes['kvspan']['v1'];

let loaded: Package | null = null;

const decode = (base64: string): PackageDefinition =>
  loadFileDescriptorSetFromBuffer(Buffer.from(base64, 'base64'), options);

/** Messages, client constructors and service definitions of kvspan.v1. */
export function loadPackage(): Package {
  loaded ??= (
    loadPackageDefinition(decode(kvspanCamelCaseDescriptors)) as unknown as MemoryTypes & AdminTypes
  ).kvspan.v1;
  return loaded;
}

export const memoryServiceDefinition = (): Package['MemoryService']['service'] =>
  loadPackage().MemoryService.service;
export const adminServiceDefinition = (): Package['AdminService']['service'] =>
  loadPackage().AdminService.service;

/** kvspan.v1 under the names its .proto files use: what reflection must answer with. */
export const loadReflectedPackage = (): PackageDefinition => decode(kvspanDescriptors);

/** `grpc.health.v1` and `grpc.reflection.v1`, for the daemon's standard services. */
export const loadStandardPackage = (): GrpcObject =>
  loadPackageDefinition(decode(standardDescriptors));
