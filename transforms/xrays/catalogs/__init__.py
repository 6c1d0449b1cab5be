"""Catalogues: tables that say of each film its view, patient, study and findings."""
