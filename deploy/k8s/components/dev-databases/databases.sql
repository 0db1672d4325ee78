-- Generated from the installed services: `make generate`.
CREATE ROLE analytics_service LOGIN;
CREATE DATABASE analytics_service OWNER analytics_service;
REVOKE CONNECT, TEMPORARY ON DATABASE analytics_service FROM PUBLIC;
CREATE ROLE crm_service LOGIN;
CREATE DATABASE crm_service OWNER crm_service;
REVOKE CONNECT, TEMPORARY ON DATABASE crm_service FROM PUBLIC;
CREATE ROLE forecast_service LOGIN;
CREATE DATABASE forecast_service OWNER forecast_service;
REVOKE CONNECT, TEMPORARY ON DATABASE forecast_service FROM PUBLIC;
CREATE ROLE inventory_service LOGIN;
CREATE DATABASE inventory_service OWNER inventory_service;
REVOKE CONNECT, TEMPORARY ON DATABASE inventory_service FROM PUBLIC;
CREATE ROLE order_service LOGIN;
CREATE DATABASE order_service OWNER order_service;
REVOKE CONNECT, TEMPORARY ON DATABASE order_service FROM PUBLIC;
